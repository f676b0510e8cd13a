"""Who answers when there is no key for a real provider?

A process of its own that speaks OpenAI's and Anthropic's protocol and can be told to be slow, odd or broken.
It knows nothing of the cache.
"""

from cacheai.demo_provider.server import DemoProvider

__all__ = ["DemoProvider"]
