"""Throttles: how often something may be tried, known to all processes, through every restart.

A try is counted before it is made, in a transaction of its own: however many come at once, none
is free. Who succeeds gives it back. The numbers are those of ASVS 6.3.1 and NIST SP 800-63B.
"""

import ipaddress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from peewee import BigIntegerField, CharField

from models.clock import instant, moment, now
from models.database import Param, PreparedQuery, lock
from models.errors import TooMany
from models.lists import Lookup
from models.tables import Person, Table, User

lifted = False  # whether nothing is counted: see --throttle
IN_A_ROW = 100  # wrong passwords, after which there is one try a day


class RateLimit(Table):
    """How often something was tried, of late and in a row; not again until an instant."""

    key = CharField(150, unique=True)
    recent = BigIntegerField()
    total = BigIntegerField()
    since = CharField(24)
    until = CharField(24)


TOTAL = PreparedQuery(RateLimit.select(RateLimit.total).where(RateLimit.key == Param("key")))


class Rule(NamedTuple):
    """`free` tries in a `window`; then one after each of `pauses`, or none until it is over."""

    free: int
    window: timedelta
    pauses: tuple[int, ...] = ()  # minutes; the last one again and again
    most: int = 0  # in a row, then one a day


TOLD = 10  # failed attempts of which the owner is told
QUARTER, DAY = timedelta(minutes=15), timedelta(days=1)
RULES = {
    "name": Rule(5, QUARTER, (1, 2, 4, 8, 15), IN_A_ROW),
    "device": Rule(5, QUARTER, (1, 2, 4, 8, 15)),
    "address": Rule(30, QUARTER),
    "signup": Rule(10, timedelta(hours=1)),
    "invite": Rule(50, DAY),
}


def rule_of(bucket: RateLimit) -> Rule:
    return RULES[bucket.key.partition(":")[0]]


def longest(bucket: RateLimit) -> timedelta:
    """Return the longest time for which a bucket can be shut."""
    rule = rule_of(bucket)
    return DAY if rule.most else max(rule.window, timedelta(minutes=max(rule.pauses, default=0)))


def network(address: str) -> str:
    """Return what is throttled of an IP address: all of an IPv4 one, the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:45]
    if isinstance(found, ipaddress.IPv6Address) and not found.ipv4_mapped:
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)


def count(*keys: str) -> None:
    """Count a try under keys like `address:10.0.0.1`. Raises TooMany, and then counts nothing."""
    if lifted:
        return
    for key in keys:
        lock(RateLimit, RateLimit.key == key)
    this, at = moment(), now()
    none: Any = {"recent": 0, "total": 0, "since": at, "until": ""}
    buckets = [
        RateLimit.get_or_none(RateLimit.key == key) or RateLimit(key=key, **none) for key in keys
    ]
    # Beyond its longest pause, a clock was set back.
    shut = [b for b in buckets if at < b.until <= instant(this + longest(b) + QUARTER)]
    if shut:
        last_shut = max(shut, key=lambda b: b.until)
        ends = datetime.fromisoformat(last_shut.until)
        locked = last_shut.total >= (rule_of(last_shut).most or last_shut.total + 1)
        raise TooMany(int((ends - this).total_seconds()) + 1, locked=locked)
    for bucket in buckets:
        rule = rule_of(bucket)
        last = max(bucket.since, bucket.until) if rule.pauses else bucket.since
        if last < instant(this - rule.window):
            bucket.recent, bucket.since = 0, at
        bucket.recent += 1
        bucket.total += 1
        late = bucket.recent - rule.free
        if rule.most and bucket.total >= rule.most:
            bucket.until = instant(this + DAY)
        elif late >= 0 and rule.pauses:
            pause = rule.pauses[min(late, len(rule.pauses) - 1)]
            bucket.until = instant(this + timedelta(minutes=pause))
        elif late >= 0:
            bucket.until = instant(datetime.fromisoformat(bucket.since) + rule.window)
        bucket.save()


def give_back(*keys: str) -> None:
    """Forget the tries under keys of names and devices; take one back from those of addresses.

    Many tries at a name are remembered for its owner.
    """
    less = RateLimit.update(recent=RateLimit.recent - 1, until="")
    for key in keys:
        if key.startswith("name:"):
            remember(key.removeprefix("name:"))
        query = RateLimit.delete() if key.startswith(("name:", "device:")) else less
        query.where(RateLimit.key == key).execute()


def remember(name: str) -> None:
    """Add the failed attempts at someone's password, if they are many, to those to be told of."""
    bucket = RateLimit.get_or_none(RateLimit.key == f"name:{name}")
    user = User.get_or_none(User.username == name)
    if bucket and user and bucket.total >= TOLD:
        at = {"recent": 0, "since": now(), "until": ""}
        made = RateLimit.insert(key=f"failed:{user.id}", total=bucket.total, **at)
        more = {RateLimit.total: RateLimit.total + bucket.total}
        made.on_conflict(conflict_target=[RateLimit.key], update=more).execute()


def failed(person: Person, lookup: Lookup = PreparedQuery.__call__) -> int:
    """Return how often others have tried to guess someone's password, until they were told."""
    return sum(total for (total,) in lookup(TOTAL, key=f"failed:{person.id}"))


def told(person: Person) -> None:
    """Forget the attempts of which someone has been told."""
    RateLimit.delete().where(RateLimit.key == f"failed:{person.id}").execute()


def forget(person: Person) -> None:
    """Let someone try again who has a new password; see `accounts.AFTER_PASSWORD_CHANGE`."""
    give_back(f"name:{person.username}")


def delete_of(person: Person) -> None:
    """Delete what is known of an account that is closed; see `account_closing.AFTER`."""
    forget(person)
    told(person)


def expired() -> list[tuple[Any, Any]]:
    """Return which rows can be deleted; see `cleanup.EXPIRED`."""
    day = instant(moment() - timedelta(days=1))
    return [(RateLimit, (RateLimit.until < day) & (RateLimit.since < day) & (RateLimit.total < 10))]
