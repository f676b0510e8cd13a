"""How is a record declared of which every call makes several?

To the type checker it is a frozen dataclass. At run time nothing stands guard over its fields: a frozen dataclass takes
four times as long to be made, a sixth of all the time an import takes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool) -> Any:
        return dataclass(slots=slots, unsafe_hash=frozen)
