#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A mail client for the kernel tests: deliver one mail, and say how far it came.

    smtp.py FROM-ADDRESS SERVER PORT RECIPIENT SUBJECT

"refused", "timeout", "delivered" (the server has taken it), or what went wrong.
"""
import smtplib
import socket
import sys

source, server, port, recipient, subject = sys.argv[1:]
try:
    with smtplib.SMTP(server, int(port), "client.test", timeout=10, source_address=(source, 0)) as s:
        s.sendmail("sender@client.test", [recipient], f"Subject: {subject}\r\n\r\nA mail.\r\n")
    print("delivered")
except ConnectionRefusedError:
    print("refused")
except (socket.timeout, TimeoutError):
    print("timeout")
except (OSError, smtplib.SMTPException) as e:
    print(f"{type(e).__name__}: {e}")
