"""What an environment is made of, as CycloneDX."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from deploy.bundle.environment import Environment
from deploy.bundle.wheel import Wheel

_LICENCES = LicenseFactory()
_TARGET = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}


def sbom(environment: Environment, title: str, epoch: int) -> str:
    """JSON of version 1.6: every distribution with hash, licence and what it asks for.

    Args:
        title: of the bundle.
        epoch: seconds; the same environment has the same text.
    """
    components = {wheel.name: _component(wheel) for wheel in environment.wheels}
    bom = Bom(
        components=components.values(),
        serial_number=uuid5(NAMESPACE_URL, environment.requirements()),
    )
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bom.metadata.component = root = Component(
        name=f"{title}/{environment.name}", type=ComponentType.APPLICATION, bom_ref=environment.name
    )
    asked = _asked(environment)
    unasked = set(components).difference(*asked.values())  # the root, and what a lock names beside it
    bom.register_dependency(root, [components[name] for name in sorted(unasked)])
    for name, others in asked.items():
        bom.register_dependency(components[name], [components[other] for other in sorted(others)])
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _component(wheel: Wheel) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=wheel.name,
        version=str(wheel.version),
        bom_ref=f"{wheel.name}=={wheel.version}",
        purl=PackageURL("pypi", name=wheel.name, version=str(wheel.version)),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        licenses=[_LICENCES.make_from_string(wheel.licence)] if wheel.licence else [],
    )


def _asked(environment: Environment) -> dict[NormalizedName, set[NormalizedName]]:
    """What each asks for of the others, with the extras that somebody asks for."""
    wheels = {wheel.name: wheel for wheel in environment.wheels}
    root = Requirement(environment.root)
    extras: dict[NormalizedName, set[str]] = defaultdict(set, {canonicalize_name(root.name): root.extras})
    asked: dict[NormalizedName, set[NormalizedName]] = {}
    waiting = list(wheels)
    while waiting:
        name = waiting.pop()
        asked[name] = set()
        for requirement in _requirements(wheels[name], environment.python, extras[name]):
            other = canonicalize_name(requirement.name)
            if other in wheels:
                asked[name].add(other)
                if not requirement.extras <= extras[other]:
                    extras[other] |= requirement.extras
                    waiting.append(other)
    return dict(sorted(asked.items()))


def _requirements(wheel: Wheel, python: str, extras: set[str]) -> Iterator[Requirement]:
    """Those that hold on Linux under that Python."""
    target = _TARGET | {"python_version": python, "python_full_version": f"{python}.0"}
    for requirement in map(Requirement, wheel.metadata.get("requires_dist", [])):
        marker = requirement.marker
        if marker is None or any(marker.evaluate(target | {"extra": extra}) for extra in ("", *sorted(extras))):
            yield requirement
