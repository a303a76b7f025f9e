exec $command
