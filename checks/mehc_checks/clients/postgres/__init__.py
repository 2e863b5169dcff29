"""PostgreSQL: sessions, and a reason for each way of being refused one."""
