"""Relevance: how well rankings of documents agree with the judgments, in trec_eval's own arithmetic."""

from collections.abc import Mapping, Sequence

from pytrec_eval import RelevanceEvaluator

from service.cli.eval.qrels import Judgments
from service.cli.eval.samples import Samples

# Our name, trec_eval's measure, and the key under which it reports.
_MEASURES = {
    "ndcg@10": ("ndcg_cut.10", "ndcg_cut_10"),
    "recall@10": ("recall.10", "recall_10"),
    "recall@100": ("recall.100", "recall_100"),
    "hit@1": ("success.1", "success_1"),
}
# trec_eval has no cut for it, so it is given rankings that end there.
_CUT_MRR, _MRR_DEPTH = "mrr@10", 10
RELEVANCE_METRICS = (*_MEASURES, _CUT_MRR)
# Those that need no more than ten hits.
SHALLOW_METRICS = ("ndcg@10", "recall@10", "hit@1", _CUT_MRR)


def relevance(judgments: Judgments, rankings: Mapping[str, Sequence[str]]) -> list[Samples]:
    """Every metric of each ranked query.

    Args:
        judgments: have a document that is relevant for each of them.
        rankings: documents by query, best first; an empty one scores nothing.
    """
    judged = {query: dict(judgments[query]) for query in rankings}
    measured = _evaluated(judged, rankings, {measure for measure, _ in _MEASURES.values()})
    cut = {query: documents[:_MRR_DEPTH] for query, documents in rankings.items()}
    reciprocal = _evaluated(judged, cut, {"recip_rank"})
    ids = list(rankings)
    found = [
        Samples.of(name, ids, [measured.get(query, {}).get(key, 0.0) for query in ids])
        for name, (_, key) in _MEASURES.items()
    ]
    return [*found, Samples.of(_CUT_MRR, ids, [reciprocal.get(query, {}).get("recip_rank", 0.0) for query in ids])]


def _evaluated(
    judged: dict[str, dict[str, int]], rankings: Mapping[str, Sequence[str]], measures: set[str]
) -> dict[str, dict[str, float]]:
    """trec_eval orders by score, so the places are made into scores; a query without hits is left out."""
    run = {
        query: {document: float(-place) for place, document in enumerate(documents)}
        for query, documents in rankings.items()
        if documents
    }
    return RelevanceEvaluator(judged, measures).evaluate(run)
