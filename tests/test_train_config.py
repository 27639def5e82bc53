"""The configuration of a training: what is written is what is read, field by field."""

import json
from dataclasses import fields, replace

from specjax.nn.config import TrainConfig, differences


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return value + "x" if isinstance(value, str) else ("x", *(value or ()))


def test_every_field_comes_back_and_makes_another_run():
    before = TrainConfig()
    assert TrainConfig.from_dict(before.to_dict()) == before
    for group in fields(TrainConfig):
        if group.name == "seed":
            changed = {"seed": replace(before, seed=before.seed + 1)}
        else:
            own = getattr(before, group.name)
            changed = {
                each.name: replace(
                    before,
                    **{group.name: replace(own, **{each.name: other(getattr(own, each.name))})},
                )
                for each in fields(own)
            }
        for name, config in changed.items():
            read = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))
            assert read == config != before, name
            told = differences(before, config)
            assert len(told) == (group.name != "keeping"), name
            assert all(line.startswith(f"{name} = ") for line in told), name
