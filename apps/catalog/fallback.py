"""Models that answer in another's place."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class Fallback(models.Model):
    """When none of `model`'s own deployments can answer, those of `target` do; a lower `position` goes first, and of
    several with one position the model's strategy chooses. A model with fallbacks alone is a virtual one."""

    model = models.ForeignKey("catalog.Model", on_delete=models.CASCADE, related_name="fallbacks")
    target = models.ForeignKey("catalog.Model", on_delete=models.PROTECT, related_name="stands_in_for")
    position = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)])

    class Meta:
        ordering = ["model", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["model", "target"], name="fallback_unique")]

    def __str__(self) -> str:
        return f"{self.model} → {self.target}"

    def clean(self) -> None:
        if self.target_id is not None and self.target_id == self.model_id:
            raise ValidationError({"target": "A model is no fallback of its own."})
