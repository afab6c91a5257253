"""Confidence: whether what would be quoted answers the question, as one number."""

from service.generation.evidence import Evidence

_JOINT_WEIGHT = 0.5


def confidence_in(best: Evidence) -> float:
    """0..1, from the best sentence: ``(cosine + 0.5 * joint) / 1.5``, and 0 where that is less.

    Both are comparable between questions, as the score of a passage is not. Weights and other features were measured,
    see docs/decisions/0016-sentence-vectors.md: a logistic fitted to all of them told answerable questions no better.
    """
    cosine = best.sentence.cosine or 0.0
    return min(1.0, max(0.0, (cosine + _JOINT_WEIGHT * best.joint) / (1 + _JOINT_WEIGHT)))
