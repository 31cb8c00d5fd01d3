"""Files on disk: atomic writes, locks, digests, scratch folders and the cache of clips."""
