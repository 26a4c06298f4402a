"""What extras add to the core, and to each other: each table is explained where it is defined.

An extra that is taken away takes its rows along, here and in the addresses of `app.py`.
"""

from collections.abc import Callable
from typing import Any

import models.account_closing
import models.accounts
import models.addresses
import models.cleanup
import models.due
import models.history
import models.idempotency
import models.invitations
import models.invites
import models.links
import models.lists
import models.members
import models.messages
import models.password_resets
import models.presence
import models.quota
import models.rate_limits
import models.recurrence
import models.sqlite_to_postgres
import models.todo_page
import models.todos
import models.usernames
from controllers import (
    account,
    auth,
    due,
    invitations,
    invites,
    links,
    list_page,
    lists,
    login_attempts,
    messages,
    recurrence,
    sso,
    static,
    today,
    todo_page,
    undo_steps,
)
from controllers.base import NOTICES, ONCE
from controllers.errors import ERROR_STATUS
from services import (
    backups,
    change_feed,
    jobs,
    link_titles,
    login_limits,
    metrics,
    oidc,
    presence,
    redis_pubsub,
)
from services.heavy_requests import HeavyRequests
from services.jobs import HOUR, PeriodicJob

list_page.PARTS[:] = [messages.PART, undo_steps.PART, due.PART, today.PART]
list_page.TITLES[:] = [links.titles]
NOTICES[:] = [login_attempts.notice, invitations.notice]
lists.LISTS_PARTS[:] = [invitations.draw]
lists.MEMBERS_PARTS[:] = [invitations.draw_pending, invites.draw]
account.SECTIONS[:] = [sso.account_section]
todo_page.PARTS[:] = [due.form_part, recurrence.form_part]
todo_page.READ[:] = [due.read_form, recurrence.read_form]
undo_steps.SAID[:] = [recurrence.said]
account.FIELDS[:] = [due.timezone_field]
models.accounts.CHOICES |= {"timezone": models.due.clean_timezone}
auth.HIDDEN |= {"timezone": models.due.known_timezone}
models.addresses.TITLES[:] = [models.links.known]
models.todos.FIELDS |= models.due.FIELDS
models.todos.FIELDS |= models.recurrence.FIELDS
models.todos.RULES[:] = [models.recurrence.begin, models.due.settle, models.recurrence.settle]
ERROR_STATUS[models.todo_page.EditConflict] = 409
models.members.INVITATIONS[:] = [models.invitations]
models.members.AFTER_ROLE_CHANGE[:] = [
    models.invitations.follow,
    models.invites.end_links,
    models.messages.skip_earlier,
]
models.accounts.AFTER_PASSWORD_CHANGE[:] = [
    models.password_resets.delete_all,
    models.rate_limits.forget,
]
models.lists.AFTER_CHANGE[:] = [models.quota.charge]
models.quota.TEXTS[:] = [models.messages.Message.text]
models.cleanup.BEFORE[:] = models.account_closing.BEFORE[:] = [models.quota.refund]
models.messages.BEFORE_HOLD[:] = [models.quota.check]
for extra in [
    models.due,
    models.invitations,
    models.invites,
    models.messages,
    models.recurrence,
    models.usernames,
]:
    models.history.SENTENCES |= extra.SENTENCES
models.history.BEFORE_UNDO[:] = [models.usernames.rename]
models.usernames.AFTER[:] = [models.rate_limits.delete_of]
models.account_closing.AFTER[:] = [models.links.delete_unused, models.rate_limits.delete_of]
models.links.TEXTS[1:] = [models.messages.Message.text]
models.cleanup.EXPIRED[:] = [
    models.links.expired,
    models.rate_limits.expired,
    models.idempotency.expired,
]
ONCE[:] = [models.idempotency.once]
models.cleanup.FUTURE[:] = [models.presence.fix_future, models.links.fix_future]
# Whether a path on the way to signing up comes from an invitation.
INVITATIONS: list[Callable[[str], bool]] = [invites.admits]
# What is checked of the options before anything is opened: each raises StartupError or Error.
CHECKS: list[Any] = [backups.check, oidc.check, redis_pubsub.check, models.quota.configure]
# What runs beside requests: each is made with the App, opened after the database, in this order,
# and closed in the other. Handlers reach one by `self.app.service(oidc.Provider)`.
SERVICES: list[Any] = [
    change_feed.ChangeFeed,
    metrics.Metrics,
    HeavyRequests,
    redis_pubsub.RedisPubSub,
    presence.Presence,
    login_limits.LoginLimits,
    oidc.Provider,
    link_titles.LinkTitles,
    jobs.Jobs,
]
# What is done again and again, by whichever process claims it first.
JOBS = [
    PeriodicJob(
        "send delayed messages", jobs.units(models.messages.due, models.messages.send), every=1
    ),
    jobs.follow_changes("find links in changes", models.links.collect),
    PeriodicJob("fetch link titles", link_titles.fetch_waiting, every=1, option="fetch_titles"),
    PeriodicJob("delete expired rows", jobs.clean_up, lambda: HOUR, first=2 * HOUR),
    PeriodicJob("back up", backups.back_up_nightly, backups.until_night, option="backup_folder"),
]
# What `python app.py --option=...` does instead of serving: it returns what is printed.
COMMANDS = {
    "migrate_to": models.sqlite_to_postgres.migrate,
    "backup": backups.back_up_once,
    "reset_password": models.password_resets.print_link,
}
# Who serves the stylesheet, the scripts and the icons, if not Tornado's own handler.
STATIC: dict[str, Any] = {"static_handler_class": static.StaticHandler}
