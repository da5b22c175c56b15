"""What a process may do at the most: privileges, system calls, files. By Linux; elsewhere less is held."""
