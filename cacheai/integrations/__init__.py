"""CacheAI inside other frameworks: a module each, which needs that framework installed."""
