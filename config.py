"""Every option: its name, default, help and environment name, read once into one frozen Config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from tornado.log import define_logging_options, enable_pretty_logging
from tornado.options import Error, OptionParser


def told(meaning: str) -> dict[str, str]:
    """Return the metadata of an option: what --help says of it."""
    return {"help": meaning}


@dataclass(frozen=True)
class Config:
    """What the house was told. Tests make their own: `Config(port=0, database="x/people.db")`."""

    port: int = field(default=8888, metadata=told("port to serve on; 0 takes a free one"))
    address: str = field(default="127.0.0.1", metadata=told("address to serve on; empty for all"))
    database: str = field(default="people.db", metadata=told("SQLite file, made if missing"))
    cookie_secret: str = field(default="", metadata=told("key that signs cookies; made if empty"))
    public_url: str = field(default="", metadata=told("address that people use, https behind TLS"))
    behind_proxy: str = field(
        default="", metadata=told("proxies to believe: IP,IP of the last hops")
    )
    debug: bool = field(default=False, metadata=told("restart on changes, show tracebacks"))

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise Error(f"--port is from 0 to 65535, not {self.port}")
        if "://" in self.database.removeprefix("sqlite:///"):
            raise Error(f"--database is a path or sqlite:///path, not {self.database!r}")
        if self.cookie_secret and len(self.cookie_secret) < 32:
            raise Error("--cookie_secret needs 32 characters or more")
        parts = urlsplit(self.public_url)
        if self.public_url and not (parts.scheme in ("http", "https") and parts.netloc):
            raise Error(f"--public_url is like https://todo.example.org, not {self.public_url!r}")

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return Path(self.database.removeprefix("sqlite:///")).absolute()

    @property
    def secure(self) -> bool:
        """Whether people come by https; the setting decides, never a request's header."""
        return self.public_url.startswith("https://")

    @property
    def proxies(self) -> list[str]:
        """The addresses whose X-Forwarded-For is believed."""
        return [address.strip() for address in self.behind_proxy.split(",") if address.strip()]


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return what `arguments` say (the program's name first), on top of AFAZERES_* variables.

    Raises tornado.options.Error or ValueError, with a message for people, for what is wrong.
    """
    parser = OptionParser()
    define_logging_options(parser)
    for each in fields(Config):
        parser.define(each.name, default=each.default, help=each.metadata["help"])
    given = [
        f"--{name}={environment[key]}"
        for name in parser
        if (key := f"AFAZERES_{name.upper()}") in environment
    ]
    parser.add_parse_callback(lambda: enable_pretty_logging(parser))
    rest = parser.parse_command_line([arguments[0], *given, *arguments[1:]])
    if rest:
        raise Error(f"options look like --port=8888, not {rest[0]!r}")
    return Config(**{each.name: parser[each.name] for each in fields(Config)})
