"""`agent serve`: the server for other clients, in OpenAI's and Anthropic's dialect.

app.py routes requests, guard.py lets in only who has the token, openai.py and anthropic.py speak
the dialects, desk.py asks the router and the gateway, run.py listens until it is told to stop.
"""
