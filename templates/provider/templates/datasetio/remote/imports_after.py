from urllib.parse import parse_qsl
