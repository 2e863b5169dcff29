"""RedisReachable."""
