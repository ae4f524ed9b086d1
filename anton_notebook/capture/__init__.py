"""Recording of programs: the HTTP gateway and `anb.trace`."""
