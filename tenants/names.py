"""May it be called that?"""

import unicodedata

from tenants.refusals import BadValue

NAME_MAX_CHARACTERS = 128


def checked(name: str, *, field: str = "name", may_be_empty: bool = False) -> str:
    """The name without blanks around it. Raises BadValue."""
    name = name.strip()
    if not name and not may_be_empty:
        raise BadValue(f"Field required: {field}", field=field)
    if len(name) > NAME_MAX_CHARACTERS:
        raise BadValue(f"{field} has at most {NAME_MAX_CHARACTERS} characters", field=field)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise BadValue(f"{field} must not hold control characters", field=field)
    return name
