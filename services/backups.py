"""Copies of the SQLite file: one a night, and one on demand."""

import os
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from config import Config
from models import migrations
from models.clock import moment
from models.errors import StartupError
from services.app_base import BaseApp
from services.daemon_thread import in_daemon_thread

NIGHT = 3  # o'clock
BACKUPS = 7  # copies that are kept
NO_BACKUP = "--backup and --backup_folder copy SQLite files: with PostgreSQL use pg_dump."


async def back_up_nightly(app: BaseApp) -> None:
    if folder := app.config.backup_folder:
        await in_daemon_thread(partial(back_up, app.config.database_path, Path(folder)))


def back_up(database: Path, folder: Path) -> None:
    """Copy the database into `folder`, once a day, and delete all but the last BACKUPS copies."""
    day = "[0-9]" * 4 + "-[0-9][0-9]" * 2
    for interrupted in folder.glob(f"{database.stem}-{day}.db.new"):
        interrupted.unlink()
    target = folder / f"{database.stem}-{local_time():%Y-%m-%d}.db"
    if not target.exists():
        migrations.copy_to(database, target)
    for old in sorted(folder.glob(f"{database.stem}-{day}.db"))[:-BACKUPS]:
        old.unlink()


def back_up_once(app: BaseApp) -> str:
    """Copy the database to the file of --backup, and return "". Raises StartupError."""
    if app.config.engine == "postgresql":
        raise StartupError(NO_BACKUP)
    migrations.back_up(app.config.database_path, Path(app.config.backup).absolute())
    return ""


def local_time() -> datetime:
    return moment().astimezone()


def until_night() -> float:
    """Return the seconds until NIGHT o'clock."""
    night = local_time().replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    if night <= local_time():
        night += timedelta(days=1)
    return (night - local_time()).total_seconds()


def check(config: Config) -> None:
    """Raise StartupError unless the nightly copies, if wanted, can be written."""
    if not config.backup_folder:
        return
    if config.engine == "postgresql":
        raise StartupError(NO_BACKUP)
    folder = Path(config.backup_folder).absolute()
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise StartupError(f"--backup_folder={folder} is not a writable folder: create it.")
