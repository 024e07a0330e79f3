"""What do all sections of the settings have in common?"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def listed(given: object) -> object:
    """A list that is written as one text with commas, as in the environment; anything else as it is."""
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given
