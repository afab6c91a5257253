"""One run of ``quarry eval``: from what the command line says to the report."""

from service.cli.eval.asker import Watch
from service.cli.eval.earlier import Earlier
from service.cli.eval.evaluation import evaluate
from service.cli.eval.margins import Margin
from service.cli.eval.report import Report
from service.cli.eval.request import Request
from service.cli.eval.serving import Serving
from service.cli.eval.targets import Target


def run(request: Request, serving: Serving, watch: Watch) -> Report:
    """Read everything first, so that what is wrong is said before anything is sent; then measure.

    Raises:
        EvalError: it cannot be measured.
        ServerStartError, httpx.TransportError: there is no server to measure.
    """
    options, datasets = request.options(), request.material.datasets()
    names, ways = list(datasets), [way.name for way in options.ways]
    targets = [Target.parsed(text, names, ways, options.top_k) for text in request.judging.targets]
    margins = [Margin.parsed(text, names, ways, is_better=True) for text in request.judging.beats]
    margins += [Margin.parsed(text, names, ways, is_better=False) for text in request.judging.not_below]
    earlier = Earlier.read(request.judging.compare) if request.judging.compare else None
    if earlier is not None:
        earlier.require(names, ways)
    evaluation = evaluate(serving, datasets, options, watch, compare_index=request.asking.compare_index)
    compared = [] if earlier is None else earlier.compared(evaluation, options.bootstrap)
    verdicts = [verdict for target in targets for verdict in target.verdicts(evaluation)]
    verdicts += [verdict for margin in margins for verdict in margin.verdicts(evaluation, options.bootstrap)]
    return Report(evaluation, options, compared, verdicts)
