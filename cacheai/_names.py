"""Under which names did cacheai 0.1.0 and 0.2.0 give what openai's package has?"""

from openai.pagination import SyncPage as ModelList
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import ChatCompletionMessage as ChatMessage

__all__ = ["ChatCompletion", "ChatCompletionChunk", "ChatMessage", "Completion", "Model", "ModelList"]
