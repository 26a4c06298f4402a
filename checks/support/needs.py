"""Marks for tests that need a program which isn't Python's: without it they are skipped."""

import pytest

from checks.support import cluster
from checks.support.nginx import NGINX
from checks.support.redis_server import REDIS

needs_nginx = pytest.mark.skipif(not NGINX, reason="no nginx found: apt install nginx")
needs_postgresql = pytest.mark.skipif(not cluster.FOUND, reason=cluster.MISSING)
needs_redis = pytest.mark.skipif(not REDIS, reason="no Redis found: apt install redis-server")
