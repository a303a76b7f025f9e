#!/bin/bash
$directives
trap '' USR1
$prologue
$command
