"""What LlamaIndex's classes make of a server, as one JSON object; run by a Python that has LlamaIndex.

Arguments: the server's address, and the name of an embedder.
"""

import asyncio
import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike


async def told(address: str, embedder: str) -> dict[str, object]:
    url = f"{address}/v1"
    llm = OpenAILike(model="docs", api_base=url, api_key="unused", is_chat_model=True, max_retries=0, timeout=60)
    embedding = OpenAILikeEmbedding(model_name=embedder, api_base=url, api_key="unused", max_retries=0)
    question = "When do the honey bees sleep?"
    messages = [ChatMessage(role="system", content="You are kind."), ChatMessage(role="user", content=question)]
    return {
        "chat": llm.chat(messages).message.content,
        "complete": llm.complete(question).text,
        "stream_chat": "".join(part.delta or "" for part in llm.stream_chat(messages)),
        "stream_complete": "".join(part.delta or "" for part in llm.stream_complete(question)),
        "achat": (await llm.achat(messages)).message.content,
        "astream_chat": "".join([part.delta or "" async for part in await llm.astream_chat(messages)]),
        "query": embedding.get_query_embedding(question),
        "texts": embedding.get_text_embedding_batch([question, "Wasps never sleep."]),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(told(*sys.argv[1:]))))
