"""The explorer: a local page on which schedules are redrawn as their settings are moved.

:mod:`.settings` has the controls and their link, :mod:`.subject` what is explored and what is
computed of it, :mod:`.page` the page (of Dash), :mod:`.server` its server, which ends with the last
tab.
"""
