"""What should a fit without options minimise, so that its schedules win on networks?"""
