"""Several single-threaded processes training one model in shared memory, able to stop and go on at any moment.

A phase is a subclass of Phase. Its model and averaged weights are written every two minutes, and when the
process is told to end, by a rename; each worker keeps its own optimiser moments beside them. On a CPU a phase's minutes
are those of worker 0's processor, so that a machine that is busy with other things takes longer and learns
no less; they can be changed while the phase runs by writing a number into its file `minutes`.
"""

import copy
import json
import os
import signal
import sys
import time

import torch
import torch.multiprocessing as mp

from . import paths

DEVICE = os.environ.get("TRAIN_DEMO_DEVICE", "cpu")
WORKERS = int(os.environ.get("TRAIN_DEMO_WORKERS", 2)) if DEVICE == "cpu" else 1
SAVE_EVERY = 120.0

clock = time.process_time if DEVICE == "cpu" else time.monotonic


def bf16():
    """Autocast to bfloat16 where the device multiplies it natively (AMX, a GPU), else nothing."""
    if DEVICE != "cpu":
        return torch.autocast(DEVICE, dtype=torch.bfloat16)
    capable = os.environ.get("TRAIN_DEMO_BF16", "auto")
    on = capable == "1" or (capable == "auto" and torch.cpu.get_capabilities().get("amx_bf16", False))
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=on)


def write_atomic(path, write):
    """Calls write(temporary path), then renames it to `path`."""
    partial = path.with_name(f"{path.name}.partial{os.getpid()}")
    write(partial)
    with open(partial, "rb") as f:
        os.fsync(f.fileno())
    os.replace(partial, path)


class Phase:
    """What to train: override the fields and methods below."""

    name = "phase"
    minutes = 1.0           # time to spend
    ema = 0.998             # decay of the averaged weights

    def modules(self):
        """A dict of modules to train, in shared memory; built before the workers start."""
        raise NotImplementedError

    def start(self, rank):
        """Called in each worker, with self.m the dict of modules."""

    def optimiser(self):
        raise NotImplementedError

    def loss(self, progress, step):
        """Returns (loss, dict of numbers to log)."""
        raise NotImplementedError

    def after_step(self, progress, step):
        """Called without gradients after each step."""

    def rate(self, progress, step):
        """The learning rate's factor, `step` counted since the optimiser's moments were new: warm up, then constant, then a fall to 0 over the last half."""
        return min(1.0, (step + 1) / 100) * min(1.0, max(0.0, 2 * (1 - progress)))

    def evaluate(self, averaged, final):
        """Called in worker 0 from time to time with the averaged modules; returns numbers to log."""
        return {}

    evaluate_every = 600.0
    clip = None

    # The rest is the machinery.

    @property
    def folder(self):
        return paths.WORK / self.name

    def planned_minutes(self):
        try:
            return float((self.folder / "minutes").read_text())
        except (OSError, ValueError):
            return self.minutes

    def log(self, **numbers):
        with open(self.folder / "log.jsonl", "a") as f:
            f.write(json.dumps(numbers) + "\n")

    def save(self, averaged, seconds, step):
        state = {"modules": {k: v.state_dict() for k, v in self.m.items()},
                 "averaged": {k: v.state_dict() for k, v in averaged.items()},
                 "seconds": seconds, "step": step}
        write_atomic(self.folder / "state.pt", lambda p: torch.save(state, p))

    def save_optimiser(self, rank, optimiser):
        write_atomic(self.folder / f"optimiser-{rank}.pt", lambda p: torch.save(optimiser.state_dict(), p))


def _worker(phase, rank, parent, started):
    torch.set_num_threads(1)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seconds, step = started["seconds"], started["step"]
    torch.manual_seed(1000 * (rank + 1) + step)
    phase.rank, phase.seed = rank, 1000 * (rank + 1) + step
    for m in phase.m.values():
        m.to(DEVICE)
    phase.start(rank)
    parameters = [p for m in phase.m.values() for p in m.parameters() if p.requires_grad]
    optimiser = phase.optimiser()
    rates = [g["lr"] for g in optimiser.param_groups]
    warm = step
    try:
        optimiser.load_state_dict(torch.load(phase.folder / f"optimiser-{rank}.pt", weights_only=True))
        warm = step - 100
    except (OSError, RuntimeError, ValueError, EOFError):
        pass
    averaged = None
    if rank == 0:
        averaged = copy.deepcopy(phase.m)
        if started["averaged"]:
            for k, m in averaged.items():
                m.load_state_dict(started["averaged"][k])
    saved = shown = evaluated = time.monotonic()
    counted, sums, last = 0, {}, clock()
    planned = phase.planned_minutes() * 60
    while True:
        progress = seconds / planned
        if progress >= 1 or stop or os.getppid() != parent:
            break
        factor = phase.rate(progress, step - warm)
        for g, r in zip(optimiser.param_groups, rates):
            g["lr"] = r * factor
        loss, numbers = phase.loss(progress, step)
        optimiser.zero_grad()
        loss.backward()
        if phase.clip:
            torch.nn.utils.clip_grad_norm_(parameters, phase.clip)
        optimiser.step()
        step += 1
        now, spent = time.monotonic(), clock()
        seconds, last = seconds + spent - last, spent
        with torch.no_grad():
            phase.after_step(progress, step)
            if rank == 0:
                decay = min(phase.ema, step / (step + 50))
                for k in averaged:
                    for a, b in zip(averaged[k].parameters(), phase.m[k].parameters()):
                        if b.requires_grad:
                            a.lerp_(b, 1 - decay)
        if rank == 0:
            counted += 1
            for k, v in numbers.items():
                sums[k] = sums.get(k, 0.0) + float(v)
            if now - shown > 30:
                means = {k: round(v / counted, 4) for k, v in sums.items()}
                bar = "#" * int(20 * progress)
                print(f"{phase.name} [{bar:<20}] {seconds / 60:.1f}/{planned / 60:.0f} min, step {step}, "
                      f"{counted / (now - shown):.2f} steps/s, {means}", flush=True)
                phase.log(step=step, seconds=round(seconds), rate=counted / (now - shown), **means)
                counted, sums, shown = 0, {}, now
                planned = phase.planned_minutes() * 60
        elif step % 20 == 0:
            planned = phase.planned_minutes() * 60
        if now - saved > SAVE_EVERY:
            phase.save_optimiser(rank, optimiser)
            if rank == 0:
                phase.save(averaged, seconds, step)
            saved = now
        if rank == 0 and now - evaluated > phase.evaluate_every:
            report(phase, averaged, step, seconds, False)
            evaluated, last = time.monotonic(), clock()
    phase.save_optimiser(rank, optimiser)
    if rank == 0:
        phase.save(averaged, seconds, step)
    sys.exit(3 if stop or os.getppid() != parent else 0)


def report(phase, averaged, step, seconds, final):
    """Evaluates the averaged modules, prints and logs the result."""
    for m in averaged.values():
        m.eval()
    with torch.no_grad():
        numbers = phase.evaluate(averaged, final)
    for m in averaged.values():
        m.train()
    print(f"{phase.name} {'final' if final else 'so far'}: {numbers}", flush=True)
    phase.log(step=step, seconds=round(seconds), evaluation=numbers, final=final)
    return numbers


def result(phase):
    """The averaged modules as they were last saved, by name."""
    state = torch.load(phase.folder / "state.pt", weights_only=True)
    modules = phase.modules()
    for k, m in modules.items():
        m.load_state_dict(state["averaged"][k])
        m.to(DEVICE).eval()
    return modules


def finished(phase):
    return (phase.folder / "done").exists()


def train(phase):
    """Trains a phase from where it is. True when it is done; False when it was told to end."""
    if finished(phase):
        return True
    phase.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)     # before the workers are forked
    torch.manual_seed(0)
    phase.m = phase.modules()
    started = {"seconds": 0.0, "step": 0, "averaged": None}
    if (phase.folder / "state.pt").exists():
        state = torch.load(phase.folder / "state.pt", weights_only=True)
        for k, m in phase.m.items():
            m.load_state_dict(state["modules"][k])
        started.update({k: state[k] for k in started})
        print(f"{phase.name}: goes on at step {state['step']}", flush=True)
    if DEVICE != "cpu":
        return _alone(phase, started)
    for m in phase.m.values():
        m.share_memory()
    context = mp.get_context("fork")
    workers = [context.Process(target=_worker, args=(phase, r, os.getpid(), started)) for r in range(WORKERS)]
    for w in workers:
        w.start()
    pids = paths.WORK / "pids"
    pids.write_text("".join(f"{p}\n" for p in [os.getpid()] + [w.pid for w in workers]))
    told = []

    def end(*_):
        told.append(1)
        for w in workers:
            w.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while any(w.is_alive() for w in workers):
        time.sleep(0.5)
        if any(w.exitcode not in (None, 0, 3) for w in workers) and not told:
            print(f"{phase.name}: a worker ended unexpectedly", flush=True)
            end()
    pids.unlink(missing_ok=True)
    if any(w.exitcode != 0 for w in workers):
        return False
    _finish(phase)
    return True


def _alone(phase, started):
    """One worker in this very process, for a GPU."""
    try:
        _worker(phase, 0, os.getppid(), started)
    except SystemExit as e:
        if e.code:
            return False
    _finish(phase)
    return True


def _finish(phase):
    """Evaluates the result and marks the phase as done."""
    state = torch.load(phase.folder / "state.pt", weights_only=True)
    numbers = report(phase, result(phase), state["step"], state["seconds"], True)
    write_atomic(phase.folder / "done", lambda p: p.write_text(json.dumps(numbers) + "\n"))
