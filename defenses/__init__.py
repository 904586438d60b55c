"""Defences, by family: `privfl.defenses.dp` and `privfl.defenses.robust`. One part a file.

>>> from privfl.defenses.dp import Clip
>>> Clip(1.0)
Clip(clip_norm=1.0)
"""

__all__: list[str] = []
