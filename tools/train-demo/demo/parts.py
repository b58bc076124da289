"""Committed weights of finished phases: F16 safetensors in models/demo-parts, picked up on a new machine."""

from safetensors.torch import load_file, save_file

from . import hogwild, paths


def file(name):
    return paths.PARTS / f"{name}.safetensors"


def save(name, module):
    """Writes a phase's whole module."""
    save_tensors(name, {k: v for k, v in module.state_dict().items() if v.is_floating_point()})


def save_tensors(name, tensors):
    """Writes a phase's result into the work folder; `run commit-parts` copies it for a commit."""
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in tensors.items()}
    hogwild.write_atomic(paths.WORK / name / f"{name}.safetensors", lambda p: save_file(tensors, p))


def path(name):
    """The newest result of a phase, from the work folder or the committed parts; None where there is none."""
    own = paths.WORK / name / f"{name}.safetensors"
    return own if own.exists() else file(name) if file(name).exists() else None


def given(phase):
    """Whether a phase need not run: its result is committed and nothing newer was begun here."""
    if file(phase.name).exists() and not (phase.folder / "state.pt").exists():
        print(f"{phase.name}: taken from {file(phase.name).relative_to(paths.REPO)}")
        return True
    return False


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


def keep():
    """Copies finished phases' results, and the tokenizer, to models/demo-parts."""
    paths.PARTS.mkdir(parents=True, exist_ok=True)
    found = {paths.WORK / "tokenizer" / "tokenizer.json": paths.PARTS / "tokenizer.json"}
    for done in sorted(paths.WORK.glob("*/done")):
        name = done.parent.name
        found[done.parent / f"{name}.safetensors"] = file(name)
    for own, target in found.items():
        if own.exists() and (not target.exists() or own.read_bytes() != target.read_bytes()):
            target.write_bytes(own.read_bytes())
            print(f"{target.relative_to(paths.REPO)}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    keep()
