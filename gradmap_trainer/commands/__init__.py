"""The commands, one file each: gradmap-train, -evaluate, -export, -report, -monitor."""
