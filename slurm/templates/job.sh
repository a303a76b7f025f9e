#!/bin/bash
$directives
set -eu
$prologue
exec $command
