"""The operator's side: staff with a second factor see every tenant's plan and figures, never a prompt or an answer."""
