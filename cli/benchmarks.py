"""`unsee bench ...`: each benchmark runs its peers in the same process and prints one JSON line last."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..bench.scoring.resize import ResizeRule
from ..bench.scoring.scored_files import SweepDevice
from ..engine.cleanup.presets import Preset
from ..errors import ExitCode, UnseeError
from ..terminal import stderr, stdout
from ..train.networks.model_names import DEFAULT_NAME
from .preset_options import with_preset

app = typer.Typer(
    help="Measure speed against peers; the last line printed is JSON.", no_args_is_help=True, rich_markup_mode=None
)
Rounds = Annotated[int, typer.Option(min=1, help="rounds; ratios are medians over them")]
BatchSize = Annotated[int, typer.Option(min=1, help="images in a batch")]
Network = Annotated[str, typer.Option("--model", "-m", help="checkpoint, or a network with random weights")]
Threads = Annotated[int | None, typer.Option(min=1, help="of the CPU, for every runner (default: all)")]
MeasuredDevice = Annotated[str, typer.Option(help="cpu or cuda")]


@app.command()
def kernels(
    images: Annotated[str | None, typer.Option(help="folder of photographs (default: scikit-image's)")] = None,
    batch_size: BatchSize = 32,
    size: Annotated[int, typer.Option(min=8, help="side of the grid in pixels")] = 224,
    rounds: Rounds = 5,
) -> None:
    """Superpixels, post-processing and metrics against scikit-image and PySODMetrics."""
    from ..bench.speed.kernel_speed import bench_kernels

    bench_kernels(images, batch_size, size, rounds)


@app.command()
def pipeline(
    images: Annotated[str, typer.Option(help="folder of photographs")],
    model: Annotated[str, typer.Option("--model", "-m")] = DEFAULT_NAME,
    count: Annotated[int, typer.Option(min=1, help="photographs a round")] = 32,
    batch_size: BatchSize = 8,
    backend: Annotated[str, typer.Option(help="as of unsee run")] = "onnxruntime",
    rounds: Rounds = 3,
    shard_sizes: Annotated[
        str, typer.Option(help="sizes with commas: also how busy the slowest stage is in shards of these")
    ] = "",
) -> None:
    """From file to file, against the descent alone and the script a user would write."""
    from ..bench.speed.pipeline_speed import bench_pipeline

    bench_pipeline(images, model, count, rounds, batch_size, backend, _sizes(shard_sizes))


def _sizes(given: str) -> tuple[int, ...]:
    sizes = [size.strip() for size in given.split(",") if size.strip()]
    if not all(size.isdigit() and int(size) for size in sizes):
        raise UnseeError(f"--shard-sizes takes numbers with commas, got {given}")
    return tuple(map(int, sizes))


@app.command()
def corpus(
    images: Annotated[str, typer.Option(help="folder of photographs, which are made small")],
    count: Annotated[int, typer.Option(min=1, help="images of the corpus")] = 200_000,
    small: Annotated[int, typer.Option(min=1, help="images of the one whose memory it is held against")] = 2000,
    batch_size: BatchSize = 16,
    ray: Annotated[bool, typer.Option("--ray", help="on two machines of a Ray cluster, of which one dies")] = False,
) -> None:
    """A corpus of small images in tars, 2 % of them damaged: memory against a small one, speed against the descent alone."""
    from ..bench.corpus_speed import CorpusBench, bench_corpus

    bench_corpus(CorpusBench(images, count, small, batch_size=batch_size, ray=ray))


@app.command()
def network(
    images: Annotated[str, typer.Option(help="folder of photographs")],
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="FILE.onnx of U-2-Net's form, or light or small-u2net of random weights"),
    ] = "light",
    count: Annotated[int, typer.Option(min=1, help="photographs a round")] = 64,
    rounds: Rounds = 5,
) -> None:
    """An ONNX network from file to file, against the loop of Pillow and ONNX Runtime that a user would write."""
    from ..bench.speed.network_speed import NetworkBench, bench_network

    bench_network(NetworkBench(images, model, count, rounds))


@app.command()
def planning(
    count: Annotated[int, typer.Option(min=1, help="empty files, made in a temporary folder")] = 100_000,
    rounds: Rounds = 3,
) -> None:
    """Planning many files, and checking that plan again, against a loop that lists them and asks for their sizes."""
    from ..bench.planning_speed import PlanningBench, bench_planning

    bench_planning(PlanningBench(count, rounds))


def evaluate(
    pred: Annotated[str | None, typer.Option(help="folder of maps, or the URL of a run")] = None,
    gt: Annotated[Path | None, typer.Option(help="folder of masks")] = None,
    dataset_json: Annotated[Path | None, typer.Option(help="data sets, as PySODEvalToolkit lists them")] = None,
    method_json: Annotated[Path | None, typer.Option(help="methods, as PySODEvalToolkit lists them")] = None,
    include_datasets: Annotated[list[str] | None, typer.Option(help="data sets to score (default: all)")] = None,
    include_methods: Annotated[list[str] | None, typer.Option(help="methods to score (default: all)")] = None,
    protocol: Annotated[str, typer.Option(help="pysod, cheng, lps, selfmask, tokencut or sal-eval")] = "pysod",
    metrics: Annotated[
        str, typer.Option("--metrics", "--metric-names", help="names with commas")
    ] = "mae,fmeasure,em,sm,wfm",
    resize: Annotated[
        ResizeRule | None, typer.Option(help="how a map comes to its mask's size (default: the protocol's)")
    ] = None,
    per_image: Annotated[Path | None, typer.Option(help="parquet file, a row a mask")] = None,
    curves: Annotated[Path | None, typer.Option(help="PNG of precision-recall and F curves")] = None,
    json: Annotated[Path | None, typer.Option(help="file for the result")] = None,
    workers: Annotated[int | None, typer.Option(help="threads (default: one a core)")] = None,
    device: Annotated[SweepDevice, typer.Option(help="where levels are counted; the scores are the same")] = "cpu",
    strict: Annotated[bool, typer.Option("--strict", help="exit code 3 when there is a warning about scores")] = False,
) -> None:
    """Score maps against masks; exit code 3 when masks lack a map that can be read, or --strict and scores are doubtful."""
    from ..bench.scoring.claims import ResultFiles
    from ..bench.scoring.evaluate import evaluate as score
    from ..bench.scoring.evaluate import evaluate_toolkit
    from ..bench.scoring.score_tables import results_table
    from ..bench.scoring.scored_files import EvaluationConfig
    from ..engine.stores.stores import store_of

    config = EvaluationConfig(protocol, tuple(metrics.replace(",", " ").split()), resize, workers, device)
    files, messages = ResultFiles(per_image, curves, json), stderr()
    if pred and gt and not (dataset_json or method_json):
        maps = store_of(pred)
        with maps.opened("everything"):
            results = [score(maps.folder, gt, config, files=files, console=messages)]
    elif dataset_json and method_json and not (pred or gt):
        chosen = {"datasets": include_datasets or (), "methods": include_methods or ()}
        results = evaluate_toolkit(dataset_json, method_json, config, **chosen, files=files, console=messages)
    else:
        raise UnseeError("give --pred and --gt, or --dataset-json and --method-json")
    stdout().print(results_table(results), soft_wrap=False)
    for line in (line for result in results for line in result.lines()):
        messages.print(line)
    if not all(result.complete for result in results) or (strict and any(result.doubtful for result in results)):
        raise typer.Exit(ExitCode.FAILED_ROWS)


def report(
    folder: Annotated[str, typer.Argument(help="run directory, a path or a URL")],
    output: Annotated[Path | None, typer.Option(help="HTML file (default: report.html in the folder)")] = None,
    gt: Annotated[Path | None, typer.Option(help="folder of masks to score the maps against")] = None,
    compare: Annotated[str | None, typer.Option(help="another run: show where the two differ most")] = None,
    most: Annotated[int, typer.Option(min=1, help="images that a comparison shows")] = 200,
    portable: Annotated[bool, typer.Option("--portable", help="put the pictures, made smaller, into the page")] = False,
) -> None:
    """Write a page of a run to look through, or of the images on which two runs differ most."""
    from ..bench.pages import comparison
    from ..bench.pages import run_page as pages
    from ..engine.stores.stores import store_of

    messages, runs = stderr(), [store_of(place) for place in filter(None, (folder, compare))]
    portable = portable or any(run.is_remote for run in runs)
    with ExitStack() as opened:
        for run in runs:
            opened.enter_context(run.opened("everything"))
        if compare:
            path = comparison.compare(runs[0].folder, runs[1].folder, output, gt, most, messages, portable)
        else:
            path = pages.report(runs[0].folder, output, gt, messages, portable)
        stdout().print(runs[0].publish_file(path) if output is None else str(path))


@app.command()
def zoo(
    library: Annotated[str, typer.Argument(help="torchvision (all of it) or timm (one a family)")],
    output: Annotated[Path, typer.Option(help="JSON file of the table, which is taken up where it was left")],
    only: Annotated[str | None, typer.Option(help="pattern that the names must hold")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="seconds for one of them")] = 3600.0,
) -> None:
    """Export the gradient of every classifier of a library: is it right, and how fast is it beside eager PyTorch?"""
    from ..bench.zoo.table import bench_zoo

    bench_zoo(library, output, only, timeout)


@app.command()
def gpu(
    output: Annotated[Path | None, typer.Option(help="JSON file (default: bench/results/gpu-NAME.json)")] = None,
    only: Annotated[str | None, typer.Option(help="sections with commas (default: all)")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Everything that only a GPU can show, in under eight minutes: writes one JSON file, again after every section."""
    from ..bench.gpu import main

    main(output, only, device)


@app.command()
@with_preset
def quality(
    images: Annotated[Path, typer.Option(help="folder of photographs")],
    gt: Annotated[Path, typer.Option(help="folder of masks")],
    preset: Preset,
    models: Annotated[str, typer.Option(help="models with commas")] = DEFAULT_NAME,
    methods: Annotated[
        str,
        typer.Option(help="gradient, presets, given (--preset with its constants), rc or rbd, with commas"),
    ] = "gradient,paper,reference,best",
    network: Annotated[
        list[str] | None, typer.Option(help="FILE.onnx of another map network, to score as well; repeatable")
    ] = None,
    maps: Annotated[list[str] | None, typer.Option(help="NAME=DIR of foreign maps to score as well")] = None,
    ablate: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE[,VALUE] of the given preset, backend or precision: a row for each; repeatable"),
    ] = None,
    peers: Annotated[str | None, typer.Option(help="what users would pick instead, with commas, or all")] = None,
    protocol: Annotated[str, typer.Option(help="pysod, cheng, lps, selfmask, tokencut or sal-eval")] = "cheng",
    limit: Annotated[int | None, typer.Option(min=1, help="photographs (default: all)")] = None,
    batch_size: BatchSize = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[str, typer.Option(help="auto or the name of a runtime")] = "auto",
    output: Annotated[Path | None, typer.Option(help="folder for JSON, Markdown and parquet")] = None,
) -> None:
    """Score models, methods, stages, ablations and peers against masks, with images a second beside every figure."""
    from ..bench.quality import QualityConfig, bench_quality

    foreign = dict(item.split("=", 1) for item in maps or [] if "=" in item)
    if len(foreign) != len(maps or []):
        raise UnseeError(f"--maps takes NAME=DIR, got {maps}")
    config = QualityConfig(
        images=images,
        masks=gt,
        models=tuple(models.split(",")),
        methods=tuple(methods.split(",")),
        networks=tuple(network or ()),
        maps={name: Path(folder) for name, folder in foreign.items()},
        given=preset,
        ablations=tuple(ablate or ()),
        peers=tuple(peers.split(",")) if peers else (),
        protocol=protocol,
        limit=limit,
        batch_size=batch_size,
        device=device,
        backend=backend,
    )
    bench_quality(config, output)


@app.command()
def descent(
    model: Network = DEFAULT_NAME,
    batch_size: BatchSize = 8,
    iterations: Annotated[int, typer.Option(min=1, help="of a timed call")] = 3,
    rounds: Rounds = 7,
    threads: Threads = None,
    device: MeasuredDevice = "cpu",
    compiled: Annotated[bool, typer.Option(help="take part with PyTorch's compiler: minutes of warm-up")] = True,
) -> None:
    """Every runner against a plain autograd loop, with its shares of the measured ceilings, and where its time must go."""
    from ..bench.speed.descent_speed import DescentBench, bench_descent

    bench_descent(DescentBench(model, batch_size, iterations, rounds, threads, device, compiled))


@app.command()
def roofline(
    model: Network = DEFAULT_NAME,
    batch_size: BatchSize = 8,
    threads: Threads = None,
    device: MeasuredDevice = "cpu",
) -> None:
    """Measured ceilings, and operations and bytes of an iteration by operator; times no runner."""
    from ..bench.speed.rivals import prepare

    threads = prepare(threads)
    from ..bench.speed.roofline import bench_roofline

    bench_roofline(model, batch_size, threads, device)


@app.command()
def distribution(
    images: Annotated[str, typer.Option(help="folder of photographs")],
    model: Annotated[str, typer.Option("--model", "-m")] = DEFAULT_NAME,
    shards: Annotated[int, typer.Option(min=2)] = 4,
    samples: Annotated[int, typer.Option(min=1, help="images a shard")] = 256,
    iterations: Annotated[int, typer.Option(min=1)] = 2,
    rounds: Rounds = 3,
) -> None:
    """One process against one and two Ray actors, a core each."""
    from ..bench.speed.distribution import bench_distribution

    bench_distribution(images, model, shards, samples, iterations, rounds)


@app.command("all")
def everything(
    images: Annotated[Path | None, typer.Option(help="folder of photographs (default: scikit-image's)")] = None,
    gt: Annotated[
        Path | None, typer.Option(help="folder of their masks (default: scores are of generated scenes)")
    ] = None,
    models: Annotated[str, typer.Option(help="models with commas")] = DEFAULT_NAME,
    only: Annotated[str | None, typer.Option(help="benchmarks with commas (default: all)")] = None,
    limit: Annotated[int, typer.Option(min=1, help="photographs of the quality table")] = 40,
    results: Annotated[Path, typer.Option(help="folder of result files")] = Path("bench/results"),
    page: Annotated[Path, typer.Option(help="page made from them")] = Path("docs/benchmarks.md"),
) -> None:
    """Every benchmark on small settings, kept by machine, and the page made from all results."""
    from ..bench.everything import run_benchmarks, small_settings

    settings = small_settings(images, gt, models.split(","), limit)
    chosen = only.split(",") if only else list(settings)
    run_benchmarks({name: runs for name, runs in settings.items() if name in chosen}, results, page)


@app.command()
def refinement(
    images: Annotated[Path, typer.Option(help="folder of photographs")],
    count: Annotated[int, typer.Option(min=1, help="photographs")] = 32,
    size: Annotated[int, typer.Option(min=8, help="side of the grid in pixels")] = 224,
    rounds: Rounds = 5,
) -> None:
    """Refinement of maps, by 100 runs of random seeds and along edges, in seconds of one core."""
    from ..bench.refinement import bench_refinement

    bench_refinement(images, count, size, rounds, stdout())


@app.command()
def scenes(
    folder: Annotated[Path, typer.Option(help="where trained classifiers and tables go; the same command resumes")],
    start: Annotated[str, typer.Option(help="classifier that the trainings start from")] = DEFAULT_NAME,
    training: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 1000,
    test: Annotated[int, typer.Option(min=1, help="scenes to test on")] = 200,
    epochs: Annotated[int, typer.Option(min=1)] = 4,
    input_size: Annotated[int, typer.Option(min=32, help="side of the classifiers' input in pixels")] = 96,
    learning_rate: Annotated[float, typer.Option()] = 0.003,
    seed: Annotated[int, typer.Option(min=0, help="of scenes, trainings and refinement")] = 0,
) -> None:
    """Train CNN1, CNN2 and CNN3 on generated scenes and score every method of papers A and B on others."""
    from ..bench.scene_tables import World, compare_on_scenes

    world = World(training, test, epochs, input_size, start, learning_rate, seed)
    compare_on_scenes(folder, world, stderr())


@app.command()
def maps(
    folder: Annotated[Path, typer.Option(help="where trained networks, maps and tables go; the same command resumes")],
    data: Annotated[Path, typer.Option(help="data set of images and masks: half to train on, half to test on")],
    priors: Annotated[list[Path] | None, typer.Option(help="folder of maps by the images' names to promote")] = None,
    start: Annotated[str, typer.Option(help="classifier of the descent, and start of the networks")] = DEFAULT_NAME,
    promoter_epochs: Annotated[int, typer.Option(min=1)] = 30,
    attentional_epochs: Annotated[int, typer.Option(min=1)] = 40,
    threads: Annotated[int | None, typer.Option(min=1, help="threads of the trainings (default: all)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the halves and the trainings")] = 0,
) -> None:
    """Train a promoter and an attentional network on half of a data set; score maps before and after on the other."""
    from ..bench.maps import Halves, compare_on_halves

    halves = Halves(data, tuple(priors or ()), start, seed, (promoter_epochs, attentional_epochs), threads)
    compare_on_halves(folder, halves, stderr())
