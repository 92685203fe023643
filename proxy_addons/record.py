r"""
Record WebSocket traffic under mitmdump, mitmweb or mitmproxy.

    mitmdump -s proxy_addons/record.py --mode reverse:http://127.0.0.1:20335@8081 \
        --set wiretape_upstreams=ontology=ws://127.0.0.1:20335 --set wiretape_store=wiretape.db
"""

from wiretape_addons.hooks import HookRecorder

addons = [HookRecorder()]
