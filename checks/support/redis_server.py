"""Redis for the tests: a server of their own."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis as Client
from redis import RedisError

from checks.support import cluster
from checks.support.waiting import until

REDIS = shutil.which("redis-server")


class Redis:
    """A server that keeps nothing."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir()
        self.folder, self.options = folder, options
        self.port = cluster.free_port()
        self.url = f"redis://:a-secret@127.0.0.1:{self.port}"
        self.client = Client(port=self.port, password="a-secret")
        self.start()

    def start(self) -> None:
        """Start it, again on the same port."""
        command = [str(REDIS), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--requirepass", "a-secret", "--dir", str(self.folder), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self.answers)

    def answers(self) -> bool:
        """Say whether it is there."""
        with suppress(RedisError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        """End it, without a farewell."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, if it isn't already, and what was connected."""
        self.client.close()
        self.kill()

    def channels(self) -> list[Any]:
        """Return the channels that anyone listens to."""
        found: Any = self.client.pubsub_channels()
        return list(found)

    def listeners(self) -> int:
        """Return how many processes listen."""
        counts: Any = self.client.pubsub_numsub(*self.channels())
        return sum(number for _, number in counts)
