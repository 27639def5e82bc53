"""What every package uses: arrays and dtypes, checks of arguments, several processes, extras."""
