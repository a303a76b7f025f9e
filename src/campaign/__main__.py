"""`python -m campaign`: the command line, without the script."""

from campaign.cli.main import main

main()
