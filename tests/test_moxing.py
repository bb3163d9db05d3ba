"""Scripts that were written for moxing run as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import checkout

import aioobs
from aioobs import sync
from aioobs.sync.moxing import install_as_moxing

__all__ = ["checkout"]

ROOT = Path(__file__).parents[1]
INSTALL = "import aioobs.sync; aioobs.sync.install_as_moxing()\n"
WAYS = ("run", "run -m", "install")
STARTS = ("fork", "spawn", "forkserver")

# The call examples of moxing's manual in their order, with results printed.
MANUAL = """
import os
import sys
import moxing as mox

print(mox.file.list_directory('s3://bucket_name'))
mox.file.write('s3://bucket_name/obs_file.txt', 'Hello World!')
mox.file.append('s3://bucket_name/obs_file.txt', '\\nend of file.')
print(repr(mox.file.read('s3://bucket_name/obs_file.txt')))
mox.file.make_dirs('s3://bucket_name/sub_dir_0/sub_dir_1')
print(mox.file.list_directory('s3://bucket_name', recursive=True))
print(mox.file.exists('s3://bucket_name/sub_dir_0/sub_dir_1'))
print(mox.file.is_directory('s3://bucket_name/sub_dir_0/sub_dir_1'))
print(mox.file.get_size('s3://bucket_name/obs_file.txt'))
stat = mox.file.stat('s3://bucket_name/obs_file.txt')
print(stat.length)
print(stat.mtime_nsec > 0)
print(stat.is_directory)
mox.file.rename('s3://bucket_name/obs_file.txt', 's3://bucket_name/obs_file_2.txt')
mox.file.rename('s3://bucket_name/obs_file_2.txt', 'local_file.txt')
mox.file.rename('local_file.txt', 's3://bucket_name/obs_file.txt')
mox.file.copy('s3://bucket_name/obs_file.txt', 's3://bucket_name/obs_file_2.txt')
mox.file.copy('s3://bucket_name/obs_file.txt', 'obs_file.txt')
mox.file.copy('obs_file.txt', 's3://bucket_name/sub_dir_0/sub_dir_1/obs_file.txt')
mox.file.copy_parallel('s3://bucket_name/sub_dir_0', 's3://bucket_name/sub_dir_2')
mox.file.copy_parallel('s3://bucket_name/sub_dir_2', 'sub_dir_2')
mox.file.copy_parallel('sub_dir_2', 's3://bucket_name/sub_dir_3')
print(mox.file.list_directory('s3://bucket_name', recursive=True, skip_dir=True))
mox.file.remove('s3://bucket_name/obs_file_2.txt', recursive=False)
mox.file.remove('s3://bucket_name/sub_dir_0/sub_dir_1', recursive=True)
with mox.file.File('s3://bucket_name/obs_file.txt', 'r') as f:
  print(f.readlines())

mox.file.shift('os', 'mox')
print('obs_file.txt' in os.listdir('s3://bucket_name'))
with open('s3://bucket_name/obs_file.txt') as f:
  print(repr(f.read()))
"""
MANUAL_SAYS = """\
[]
'Hello World!\\nend of file.'
['obs_file.txt', 'sub_dir_0', 'sub_dir_0/sub_dir_1']
True
True
25
25
True
False
['obs_file.txt', 'obs_file_2.txt', 'sub_dir_0/sub_dir_1/obs_file.txt', \
'sub_dir_2/sub_dir_1/obs_file.txt', 'sub_dir_3/sub_dir_1/obs_file.txt']
['Hello World!\\n', 'end of file.']
True
'Hello World!\\nend of file.'
"""

# The longer recipes: files, timeouts, a copy in the background, a log.
RECIPES = """
import logging
import moxing as mox

mox.file.set_auth(timeout_config={'getObjectMetadata': 10})
print(mox.file.exists('s3://bucket_name/object'))

mox.file.write('s3://bucket_name/obs_file.txt', 'Hello World!')
f = mox.file.File('s3://bucket_name/obs_file.txt', 'rb+')
print(f.read())
f.close()

def main():
  local_train_url = 'train_url'
  obs_train_url = 's3://bucket_name/train_url'
  mox.file.make_dirs(local_train_url)
  mox.file.background_sync_copy(local_train_url, obs_train_url, seconds=120)
  mox.file.write('train_url/model.txt', 'weights')

main()

stream = mox.file.File('s3://bucket_name/sub_dir_0/logging.txt', 'w')
logging.basicConfig(level=logging.DEBUG, stream=stream)
console = logging.StreamHandler()
console.setLevel(logging.INFO)
logging.getLogger('').addHandler(console)
logging.info('hello world')
stream.flush()
print(mox.file.read('s3://bucket_name/sub_dir_0/logging.txt').count('INFO:root:hello world'))
logging.info('good bye')
stream.close()
"""


def start(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run Python, and expect it to end with a status."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def run(code: str, *, way: str = "run") -> str:
    """Run a script that says ``import moxing``, and return what it prints."""
    Path("script.py").write_text(INSTALL + code if way == "install" else code)
    program = {
        "run": ("-m", "aioobs", "run", "script.py"),
        "run -m": ("-m", "aioobs", "run", "-m", "script"),
        "install": ("script.py",),
    }[way]
    return start(*program).stdout


def another_moxing(folder: str) -> str:
    """Make a package named moxing that is not ours, and return where it is."""
    package = Path(folder, "moxing").resolve()
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("file = 'not ours'\n")
    (package / "child.py").touch()
    return str(package / "__init__.py")


# --- Scripts ---


@pytest.mark.parametrize("way", WAYS)
def test_the_examples_of_the_manual_run_unmodified(way: str, obs_bucket: str) -> None:
    assert run(MANUAL.replace("s3://bucket_name", obs_bucket), way=way) == MANUAL_SAYS


def test_the_longer_recipes_of_the_manual_run_unmodified(obs_bucket: str) -> None:
    Path("script.py").write_text(RECIPES.replace("s3://bucket_name", obs_bucket))
    done = start("-m", "aioobs", "run", "script.py")

    assert done.stdout == "False\nb'Hello World!'\n1\n"
    assert done.stderr == "hello world\ngood bye\n"
    logged = sync.file.read(f"{obs_bucket}/sub_dir_0/logging.txt").splitlines()
    assert [line for line in logged if "root" in line] == [
        "INFO:root:hello world",
        "INFO:root:good bye",
    ]
    assert sync.file.read(f"{obs_bucket}/train_url/model.txt") == "weights"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_import_it_gives_the_same(way: str) -> None:
    program = """
import moxing
import moxing as mox
from moxing import file, framework
from moxing.framework import file as cloud_api
import moxing.framework.file
import moxing.framework.file.file_io as one
from moxing.framework.file import file_io
from moxing.framework.file.file_io import copy_parallel
from moxing.framework.util import runtime
assert mox is moxing and mox.file is file is cloud_api is framework.file
assert file_io is one is mox.file.file_io is mox.framework.file.file_io
assert runtime is mox.framework.util.runtime

import aioobs.sync
for name in aioobs.sync.file.__all__:
    same = getattr(aioobs.sync.file, name)
    assert getattr(mox.file, name) is getattr(file_io, name) is same, name
print(mox.__version__)
"""
    assert run(program, way=way) == f"{aioobs.__version__}\n"


@pytest.mark.parametrize("how", STARTS)
@pytest.mark.parametrize("way", ["run", "install"])
def test_children_have_it_however_they_start(way: str, how: str, obs_bucket: str) -> None:
    program = f"""
import multiprocessing
import moxing as mox

def work(number):
    from moxing.framework.file import file_io
    file_io.write('{obs_bucket}/%d.txt' % number, 'by a child')

if __name__ == '__main__':
    context = multiprocessing.get_context({how!r})
    children = [context.Process(target=work, args=(number,)) for number in range(2)]
    target = mox.file.copy_parallel
    children.append(context.Process(target=target, args=('script.py', '{obs_bucket}/script.py')))
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    print(mox.file.list_directory('{obs_bucket}'))
"""
    assert run(program, way=way) == "['0.txt', '1.txt', 'script.py']\n"


def test_programs_that_a_script_starts_have_it_too() -> None:
    Path("other.py").write_text("import moxing.framework.file.file_io; print('found')\n")
    program = """
import subprocess, sys
subprocess.run([sys.executable, 'other.py'], check=True)
"""
    assert run(program) == "found\n"


# --- The private parts that people use ---


def test_the_size_of_parts_can_be_set_and_the_rest_is_accepted(obs_bucket: str) -> None:
    program = f"""
import moxing as mox
from moxing.framework.file import file_io
file_io._LARGE_FILE_METHOD = 2
file_io._LARGE_FILE_TASK_NUM = 1
file_io._NUMBER_OF_PROCESSES = 1
file_io._PARTIAL_MAXIMUM_SIZE = 500 << 20
file_io._USE_MEMARTS = False
file_io._LARGE_FILE_PART_SIZE = 6 << 20
mox.file.write('{obs_bucket}/big', bytes(20 << 20))
print(mox.file.stat('{obs_bucket}/big').etag.partition('-')[2], file_io._LARGE_FILE_PART_SIZE)
"""
    assert run(program) == f"4 {6 << 20}\n"


def test_a_setting_that_makes_no_sense_is_refused_at_once() -> None:
    program = """
from moxing.framework.file import file_io
try:
    file_io._LARGE_FILE_PART_SIZE = 0
except ValueError as error:
    print(error)
print(file_io._LARGE_FILE_PART_SIZE)
try:
    file_io._create_or_get_obs_client()
except AttributeError as error:
    print(error)
"""
    lines = run(program).splitlines()
    assert "part_size=0" in lines[0]
    assert lines[1] == str(aioobs.Config().part_size)
    assert "head_object(bucket, key).etag" in lines[2]


def test_the_base_of_the_errors_with_an_answer_can_be_caught(obs_bucket: str) -> None:
    program = f"""
import moxing as mox
from moxing.framework.file import file_io
mox.file.set_auth(ak='test-access-key', sk='test-secret-key')
try:
    mox.file.read('{obs_bucket}/file')
except file_io._MoxFileBaseRespException as error:
    print(type(error).__name__, error.resp.status)
"""
    assert run(program) == "AccessDenied 403\n"


def test_a_timeout_can_be_caught_by_the_name_that_it_has_where_moxing_raises_it() -> None:
    program = """
import moxing as mox
from moxing.framework.util.runtime import MoxTimeoutError
print(MoxTimeoutError is mox.file.MoxTimeoutError)
"""
    assert run(program) == "True\n"


def test_the_level_of_the_log_can_be_set_and_the_root_logger_stays(obs_bucket: str) -> None:
    program = """
import logging
import moxing as mox
from moxing.framework.util import runtime
runtime.reset_logger(logging.ERROR)
root = logging.getLogger()
print(logging.getLogger('aioobs.session').getEffectiveLevel(), root.level, root.handlers)
"""
    assert run(program) == "40 30 []\n"


# --- As Python does ---


@pytest.mark.parametrize("name", ["script.py", "./sub/../script.py", "link.py", "-m script"])
def test_a_script_finds_what_it_would_find_without_us(name: str) -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/beside.py").touch()
    Path("beside.py").touch()
    Path("sub").mkdir()
    code = """
'''Say what there is.'''
import sys, pickle, inspect
class Mine: pass
def function(): pass
main = sys.modules['__main__']
print(main.__name__, main.__doc__, main.__file__, main.__package__, main.__cached__)
print(__spec__ and __spec__.name, vars(main) is globals(), sys.argv, sys.path[0])
print(type(pickle.loads(pickle.dumps(Mine()))), inspect.getsource(function))
import beside
print(beside.__file__)
"""
    Path("script.py").write_text(code)
    Path("elsewhere/script.py").write_text(code)
    Path("link.py").symlink_to("elsewhere/script.py")
    arguments = [*name.split(), "--flag", "-m", "--", "--help", "run"]

    assert start("-m", "aioobs", "run", *arguments).stdout == start(*arguments).stdout


def test_its_main_module_is_there_to_the_end() -> None:
    program = """
import atexit, pickle, sys, threading
class Mine: pass
def late():
    print(type(pickle.loads(pickle.dumps(Mine()))).__module__)
def wait(main=threading.main_thread()):
    main.join()
    late()
atexit.register(late)
threading.Thread(target=wait).start()
sys.exit(0)
"""
    assert run(program) == "__main__\n" * 2


def test_its_exit_status_and_errors_are_ours(tmp_path: Path) -> None:
    Path("exits.py").write_text("raise SystemExit(7)")
    start("-m", "aioobs", "run", "exits.py", status=7)
    Path("fails.py").write_text("\n\nmissing\n")
    errors = start("-m", "aioobs", "run", "fails.py", status=1).stderr
    assert f'File "{tmp_path}/fails.py", line 3' in errors
    assert errors.endswith("NameError: name 'missing' is not defined\n")


def test_a_script_that_does_not_exist_is_said_in_one_line() -> None:
    errors = start("-m", "aioobs", "run", "nothing.py", status=2).stderr
    assert errors == "python -m aioobs: there is no file 'nothing.py'\n"


def test_safe_path_stays_safe() -> None:
    Path("script.py").write_text("import sys, os; print(os.getcwd() in sys.path)")
    assert start("-P", "-m", "aioobs", "run", "script.py").stdout == "False\n"


def test_the_version_is_printed() -> None:
    assert start("-m", "aioobs", "--version").stdout == f"aioobs {aioobs.__version__}\n"


# --- Another moxing ---


def test_another_moxing_is_named_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    location = another_moxing("site")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.path.abspath('site')}")
    Path("script.py").write_text("print('not reached')")

    done = start("-m", "aioobs", "run", "script.py", status=1)
    assert done.stdout == ""
    assert location in done.stderr
    assert len(done.stderr.splitlines()) == 1
    program = """
import aioobs.sync
for _ in range(2):
    try:
        aioobs.sync.install_as_moxing()
    except ImportError as error:
        print(error.path)
    import moxing
    print(moxing.file)
"""
    Path("script.py").write_text(program)
    assert start("script.py").stdout == f"{location}\nnot ours\n" * 2


def test_another_moxing_beside_the_script_is_found_too() -> None:
    location = another_moxing("beside")
    Path("beside/script.py").touch()
    assert location in start("-m", "aioobs", "run", "beside/script.py", status=1).stderr


@pytest.mark.parametrize("how", ["subprocess", "spawn"])
def test_another_moxing_is_replaced_if_one_insists(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_moxing("site")
    monkeypatch.setenv("PYTHONPATH", f"{os.path.abspath('site')}{os.pathsep}{ROOT}")
    program = f"""
import multiprocessing, subprocess, sys

def show():
    import moxing
    print(moxing.file.__name__, flush=True)

if __name__ == '__main__':
    show()
    if {how!r} == 'subprocess':
        code = 'import moxing; print(moxing.file.__name__)'
        subprocess.run([sys.executable, '-c', code], check=True)
    else:
        child = multiprocessing.get_context('spawn').Process(target=show)
        child.start()
        child.join()
"""
    Path("script.py").write_text(program)
    names = start("-m", "aioobs", "run", "--replace", "script.py").stdout
    assert names == "moxing.framework.file\n" * 2


def test_another_moxing_that_is_imported_already_is_forgotten_if_one_insists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    another_moxing("site")
    monkeypatch.setenv("PYTHONPATH", f"{os.path.abspath('site')}{os.pathsep}{ROOT}")
    program = """
import sys
import moxing.child
import aioobs.sync
aioobs.sync.install_as_moxing(replace=True)
aioobs.sync.install_as_moxing()
import moxing
print(moxing.file.__name__, 'moxing.child' in sys.modules)
"""
    Path("script.py").write_text(program)
    assert start("script.py").stdout == "moxing.framework.file False\n"


def test_a_folder_named_moxing_that_is_no_package_is_no_obstacle() -> None:
    Path("moxing").mkdir()
    Path("moxing/notes.txt").touch()
    assert run("import moxing; print(moxing.file.__name__)") == "moxing.framework.file\n"


def test_to_install_it_twice_changes_nothing() -> None:
    program = f"""
import sys
{INSTALL}
before = list(sys.path)
{INSTALL}
import moxing
{INSTALL}
assert sys.path == before
import moxing as again
assert again is moxing
"""
    run(program, way="install")


def test_nothing_is_installed_unless_one_asks() -> None:
    start("-c", "import aioobs.sync.moxing, importlib.util as u; assert not u.find_spec('moxing')")
    assert sync.install_as_moxing is install_as_moxing
