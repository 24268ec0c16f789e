from email import message_from_bytes
from email.policy import HTTP
