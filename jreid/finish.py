"""The end of a training: the test images' scores, tables, pictures and report."""

import sys
from pathlib import Path

from jreid.config import Config
from jreid.processes.distributed import is_main
from jreid.report.page import report_page
from jreid.report.run_folder import open_run
from jreid.run import results
from jreid.run.about import about_run
from jreid.run.build import Run
from jreid.run.finished import UNFINISHED
from jreid.run.translations import save_translations
from jreid.streams import perhaps_unread
from jreid.whole_files import write_text

REPORT = "report.html"
UNTESTED = "trained on everybody: there is nobody to test on (data.test_fraction is 0)"


def finish(config: Config, workdir: Path, run: Run) -> None:
    """Embeds and scores the test images; writes and prints what is known of the run.

    Of several processes all embed, and the first one scores and writes.
    """
    test = run.images.test
    if not len(test):
        with perhaps_unread(sys.stdout):
            print(UNTESTED)
        return
    state = run.state
    features = run.embedder(state.params, state.stats, test, "embed test images")
    if not is_main():
        return
    step, content = int(state.step), run.images.test_content
    about = about_run(config, step, content=content)
    (workdir / UNFINISHED).touch()
    scores = results.write_report(config, workdir, step, features, test, None, about)
    with perhaps_unread(sys.stdout):
        results.print_report(scores, about, workdir)
    translations = save_translations(config, workdir, state, test, run.classes)
    page = report_page([open_run(workdir, read=test.read)])
    write_text(workdir / REPORT, page)
    (workdir / UNFINISHED).unlink()
    with perhaps_unread(sys.stdout):
        for path in filter(None, (translations, workdir / REPORT)):
            print(path)
