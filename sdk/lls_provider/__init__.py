"""Package Llama Stack (OGX) providers as images and install them into a running Pod.

The public Python API: what ``__all__`` names, each loaded from its module when it is first used.
Everything else in the package may change at any time (``docs/reference/python-api.md``).
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # importing typing would cost as much as the rest of this module
if TYPE_CHECKING:
    from lls_provider.bundle.checks.report import Finding, Report
    from lls_provider.bundle.compat import Compatibility, ProviderRow, Verdict
    from lls_provider.deploy.diagnose import diagnose
    from lls_provider.deploy.pod_causes import Cause
    from lls_provider.deploy.pod_status import (
        Diagnosis,
        PhaseStatus,
        PodDiagnosis,
        ProviderPhase,
        ProviderStatus,
    )
    from lls_provider.deploy.render.render import (
        ProviderSourceKind,
        Rendered,
        RenderTarget,
        render,
    )
    from lls_provider.errors import Code, ExitStatus, Problem, SdkError, Where
    from lls_provider.image.image import Image
    from lls_provider.local.plan import CallReply, Phase, ServedProvider, UpResult
    from lls_provider.local.up import RunningServer, up
    from lls_provider.operations.build import (
        BuildResult,
        BuiltImage,
        BuiltProvider,
        BuiltWheel,
        build,
    )
    from lls_provider.operations.check import check, compat
    from lls_provider.operations.images import Inspection, PushResult, Written, inspect, push
    from lls_provider.progress import Advance, Progress
    from lls_provider.wheels.uv_settings import Indexes

__all__ = [
    "Advance",
    "BuildResult",
    "BuiltImage",
    "BuiltProvider",
    "BuiltWheel",
    "CallReply",
    "Cause",
    "Code",
    "Compatibility",
    "Diagnosis",
    "ExitStatus",
    "Finding",
    "Image",
    "Indexes",
    "Inspection",
    "Phase",
    "PhaseStatus",
    "PodDiagnosis",
    "Problem",
    "Progress",
    "ProviderPhase",
    "ProviderRow",
    "ProviderSourceKind",
    "ProviderStatus",
    "PushResult",
    "RenderTarget",
    "Rendered",
    "Report",
    "RunningServer",
    "SdkError",
    "ServedProvider",
    "UpResult",
    "Verdict",
    "Where",
    "Written",
    "__version__",
    "build",
    "check",
    "compat",
    "diagnose",
    "inspect",
    "push",
    "render",
    "up",
]

_MODULES = {
    "bundle.checks.report": ("Finding", "Report"),
    "bundle.compat": ("Compatibility", "ProviderRow", "Verdict"),
    "deploy.diagnose": ("diagnose",),
    "deploy.pod_causes": ("Cause",),
    "deploy.pod_status": (
        "Diagnosis",
        "PhaseStatus",
        "PodDiagnosis",
        "ProviderPhase",
        "ProviderStatus",
    ),
    "deploy.render.render": ("ProviderSourceKind", "RenderTarget", "Rendered", "render"),
    "errors": ("Code", "ExitStatus", "Problem", "SdkError", "Where"),
    "image.image": ("Image",),
    "local.plan": ("CallReply", "Phase", "ServedProvider", "UpResult"),
    "local.up": ("RunningServer", "up"),
    "operations.build": ("BuildResult", "BuiltImage", "BuiltProvider", "BuiltWheel", "build"),
    "operations.check": ("check", "compat"),
    "operations.images": ("Inspection", "PushResult", "Written", "inspect", "push"),
    "progress": ("Advance", "Progress"),
    "wheels.uv_settings": ("Indexes",),
}

if not TYPE_CHECKING:  # a type checker would take every name for a public one

    def __getattr__(name):
        """Load a public name from its module; raises AttributeError for any other."""
        for module, names in _MODULES.items():
            if name in names:
                from importlib import import_module

                value = getattr(import_module(f"{__name__}.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        """The public names and what is loaded."""
        return sorted({*globals(), *__all__})
