"""Words for synthetic texts; each is in most vocabularies of tokenizers, as the words of real texts are."""


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Three words each: with a quality, a thing and an action they make the six words that tell a text from all others.
OPENINGS = ("how does the", "why would a", "when should the", "where can a", "who ordered the", "what makes a")
QUALITIES = _listed(
    "annual brief certain clean common correct current damaged distant early empty exact external faulty final former "
    "frequent general hidden internal large late legal local lower manual minor missing modern narrow"
)
THINGS = _listed(
    "account agreement archive audit bearing bridge budget cable catalogue certificate channel client committee "
    "compressor contract cooler customer delivery department device engine factory filter forecast garden harbour "
    "hospital insurance inventory invoice journal kitchen laboratory ledger library licence machine manual meeting "
    "membrane method mirror motor network office orchard payment pension pipeline plant policy printer project pump "
    "railway receipt refund region report reservoir river sample satellite schedule school sensor server shipment "
    "signal station supplier survey teacher tenant theatre ticket tractor transfer turbine vaccine valve vehicle "
    "village visitor voltage warehouse warranty weather window workshop"
)
ACTIONS = _listed(
    "accept adjust approve assess cancel charge check close compare confirm cool deliver describe detect drain examine "
    "export heat inspect install isolate label lift list measure mention mix monitor move open order pack prepare "
    "print protect reach record reduce repair replace report reset return review rotate schedule seal select send "
    "separate share store supply support test track transfer update verify wash weigh"
)
LINKS = ("after the", "before a", "beside the", "during a", "for the", "from a", "near the", "under a", "with the")
