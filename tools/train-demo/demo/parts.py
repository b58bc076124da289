"""Results of finished phases, F16 safetensors in the work folder: what the next phase starts from."""

from safetensors.torch import load_file, save_file

from . import hogwild, paths


def save(name, module):
    """Writes a phase's whole module."""
    save_tensors(name, {k: v for k, v in module.state_dict().items() if v.is_floating_point()})


def save_tensors(name, tensors):
    """Writes a phase's result."""
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in tensors.items()}
    hogwild.write_atomic(paths.WORK / name / f"{name}.safetensors", lambda p: save_file(tensors, p))


def path(name):
    """A phase's result; None where there is none."""
    own = paths.WORK / name / f"{name}.safetensors"
    return own if own.exists() else None


def load(name, module):
    """Fills a module with a phase's result."""
    found = path(name)
    if found is None:
        raise SystemExit(f"the phase '{name}' has no result yet: run tools/train-demo/run first")
    tensors = {k: v.float() for k, v in load_file(found).items()}
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    buffers = {k for k, v in module.named_buffers()}
    if set(missing) - buffers or unexpected:
        raise SystemExit(f"{found} does not fit the phase '{name}': {missing[:3]} {unexpected[:3]}")
    return module
