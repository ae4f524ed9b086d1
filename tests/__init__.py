"""The tests. What ends programs with Ctrl-C here must not depend on who started the tests: a shell's `&` has it ignored by all below."""

import signal
import threading

if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
