"""What the house knows: plain synchronous peewee, without the web and without asyncio."""
