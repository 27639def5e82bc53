"""Arrays and dtypes, checks of what a user gives, several processes."""
