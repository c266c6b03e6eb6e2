from .main import command_parser as command_parser, main as main
