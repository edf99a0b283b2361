"""Runs all tests of this folder, or those that are named: `run.py test_streaming.Handles`."""
import os
import pathlib
import sys
import unittest
import warnings

FOLDER = pathlib.Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    # The client leaves sockets and pipes to the garbage collector.
    warnings.simplefilter("ignore", ResourceWarning)
    loader = unittest.TestLoader()
    names = sys.argv[1:]
    tests = loader.loadTestsFromNames(names) if names else loader.discover(str(FOLDER))
    outcome = unittest.TextTestRunner(verbosity=1, warnings="ignore").run(tests)
    # At interpreter exit the client asks every session it ever opened to clean up, and retries for minutes
    # where a test has ended that session's server: so leave without the exit hooks.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(not outcome.wasSuccessful())
