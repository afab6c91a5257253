"""The next dearer setting of an index, for when live searches miss the target."""

from indexes.ivf_pq import IvfPqParams

# Candidates for each hit beyond which a search costs more than it finds.
_MOST_REFINE = 64


def dearer(params: IvfPqParams) -> tuple[int, int] | None:
    """Nprobe and refine: twice as many lists, then, with all of them, twice as many candidates; None at the end.

    Questions do not lie among documents as rows do, so the curve that was measured with rows may promise too much.
    """
    if params.nprobe < params.nlist:
        return min(2 * params.nprobe, params.nlist), params.refine
    if params.refine < _MOST_REFINE:
        return params.nprobe, min(2 * params.refine, _MOST_REFINE)
    return None
